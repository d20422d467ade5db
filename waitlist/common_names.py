"""Given names and surnames that many people in the United States bear, in lower case without accents. Pure.

For telling "I'm not Maria" from "I'm not Medicare", whatever a phone's keyboard does to capitals. Names that are words
as well (Will, Grace, Dolores) are left out: they count only where a patient at the number bears them.
"""

from __future__ import annotations

_NAMES = """
aaron adam adams adrian adriana aguilar aidan aiden alan albert alberto alejandra alejandro alex alexander alexandra
alexis alfonso alfredo alicia alison allison alma alvarado alvarez alvaro amanda amber amy ana anderson andrea andres
andrew andy angela angelica anita ann anna anne anthony antonia antonio araceli arellano ariana armando arthur arturo
ashley aubrey aurora ava baez barbara barrera beatriz becerra benitez benjamin bennett bernal berta bertha beth betty
beverly bianca bob bobby bradley brandon brenda brian brianna brittany brooks bruce bryan cabrera calderon caleb
camacho camila campbell campos cardenas carl carla carlos carmen carol caroline carolyn carrillo castaneda castillo
castro catalina catherine cecilia cervantes cesar charles charlotte chavez chen cheryl chris christina christine
christopher cindy clark claudia collins connor contreras cooper cortez cox cristian cristina cynthia dan daniel
daniela danielle danny dave david davis deborah debra delgado denise dennis diana diane diaz diego dominguez donald
donna doris dorothy doug douglas duarte dylan eddie edgar edith eduardo edward edwards elena elijah elizabeth ella
ellen emilia emilio emily emma enrique eric erica erik erika ernesto escobar espinoza esteban ester esther ethan
eugene eva evans evelyn fatima felicia felipe felix fernanda fernandez fernando figueroa flores frances francisca
francisco fuentes gabriel gabriela gallegos garcia gary garza george gerald gerardo gilberto gladys gloria gomez
gonzales gonzalez graciela greg gregory guadalupe guillermo gustavo gutierrez guzman hannah harold harris harry hayden
heather hector heidi helen henderson henry hernandez herrera hilda hughes hugo ian ignacio irene irma isaac isabel
isabella isaiah ismael ivan jack jacob jacqueline jaime jake james jamie jane janet janice jasmine jason javier jeff
jeffrey jenkins jennifer jeremy jerry jesse jessica jesus jill jim jimenez jimmy joan joanna joe joel john johnny
johnson jon jonathan jones jordan jorge jose josefina joseph joshua josue juan juana juanita juarez judith judy julia
julian juliana julie julio justin karen karina karla katherine kathleen kathryn katie kayla keith kelly ken kenneth
kevin kim kimberly kowalski kyle lara larry laura lauren lawrence leah lee leonardo leslie leticia lewis liam lidia
lila linda lisa logan lopez lorena lorenzo louis lourdes lozano lucas lucia lucy lugo luis luisa luna lupe lydia
macias maldonado manuel marcela marco marcos margaret margarita maria mariana marie marilyn mario marisol marquez
martha martin martinez mary mateo matthew mauricio mccarthy medina megan mejia melanie melendez melissa mendez mendoza
mia michael michelle miguel mike miller miranda miriam moises molina monica montoya morales morgan morris munoz murphy
nancy natalia natalie nathan nelson nguyen nicholas nick nicolas nicole noah noe norma nunez ochoa octavio olga olivia
omar orozco ortega ortiz oscar pablo pacheco padilla pamela patel patricia patrick paul paula pedro perez peter
peterson phil philip phillips powell quintero rachel rafael ralph ramirez ramiro ramon ramos randy raquel raul raymond
rebeca rebecca reed rendon renee reyes reynolds ricardo richard richardson rios rita rivas rivera rob robert roberto
roberts robinson robles rodolfo rodrigo rodriguez rogelio roger rogers rojas rolando romero ronald rosales rosario
ross roxana roy ruben ruiz russell ruth ryan salazar salinas salvador sam samantha samuel sanchez sanders sandoval
sandra santana santiago santos sara sarah scott sean sergio serrano sharon sherry shirley silvia simon singh smith
sofia solis sonia sophia sosa soto stacy stephanie stephen steve steven stewart suarez sullivan susan susana sylvia
tamara tammy tania tara taylor teresa terry theresa thomas thompson tiffany tim timothy tina tom tomas tony torres
tracy tran travis trejo trevino trujillo turner tyler valdez valentina valenzuela valeria vanessa vargas vasquez
vazquez vega velasquez velez veronica vicente victor victoria villanueva villarreal vincent watson wendy william
williams wilson xavier ximena yesenia yolanda zachary zamora zoe zuniga
"""
COMMON_NAMES = frozenset(_NAMES.split())
